"""Mortality in MIMIC-III: one sequence a patient, four kinds of hospital events in one vocabulary.

Diagnoses and procedures have no time of their own and stand at their admission; prescriptions
stand at their first day, laboratory tests when the sample was taken.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from grap_seq.prep.read.files import table_files
from grap_seq.prep.read.sources import need_table, read_rows, source_folder
from grap_seq.prep.stages.cells import as_text
from grap_seq.prep.stages.splits import tail_split

ADMISSIONS, PATIENTS = "ADMISSIONS", "PATIENTS"
# Columns that are used; a row that lacks one of them is left out.
COLUMNS = {
    ADMISSIONS: ("SUBJECT_ID", "HADM_ID", "ADMITTIME"),
    PATIENTS: ("SUBJECT_ID", "DOD"),
    "DIAGNOSES_ICD": ("SUBJECT_ID", "HADM_ID", "SEQ_NUM", "ICD9_CODE"),
    "PROCEDURES_ICD": ("SUBJECT_ID", "HADM_ID", "SEQ_NUM", "ICD9_CODE"),
    "PRESCRIPTIONS": ("ROW_ID", "SUBJECT_ID", "STARTDATE", "DRUG"),
    "LABEVENTS": ("ROW_ID", "SUBJECT_ID", "CHARTTIME", "ITEMID"),
}
CODED = {"DIAGNOSES_ICD": "diagnosis", "PROCEDURES_ICD": "procedure"}
# A prescription with a date far from all others.
OUTLIER = "1850987"
TEST, VALIDATION = 0.2, 0.1
REMEDY = (
    "MIMIC-III v1.4 is given to people who took a course and signed an agreement, at "
    f"physionet.org/content/mimiciii; put {', '.join(COLUMNS)} (.csv.gz or .csv) into the folder, "
    "or make artificial ones with `grap-seq synth dataset=mimic3 output=FOLDER`"
)


def files(source: Path | None) -> list[Path]:
    """The six tables that are read."""
    return [file for path in _parts(source).values() for file in table_files(path)]


def _parts(source: Path | None) -> dict[str, Path]:
    folder = source_folder(source, "mimic3", REMEDY)
    return {name: need_table(folder, name, REMEDY) for name in COLUMNS}


def read(connection: Any, source: Path | None) -> dict[str, ir.Table]:
    parts = _parts(source)
    tables = {name: read_rows(connection, path, COLUMNS[name]) for name, path in parts.items()}
    found = connection.to_pyarrow(events(tables).select("SUBJECT_ID").distinct())
    subjects = found["SUBJECT_ID"].to_pylist()
    for subject in subjects:
        if not subject.isdigit():
            raise ValueError(f"{source}: SUBJECT_ID {subject!r} is no number; correct the file")
    split = tail_split([int(subject) for subject in subjects], [], test=TEST, validation=VALIDATION)
    ids = pa.array([str(subject) for subject in split], pa.string())
    tables["splits"] = ibis.memtable(pa.table({"SUBJECT_ID": ids, "split": list(split.values())}))
    return tables


def _complete(tables: dict[str, ir.Table], name: str) -> ir.Table:
    """Rows with every used cell, as text."""
    table = tables[name]
    table = table.mutate(**{column: as_text(table[column]) for column in COLUMNS[name]})
    return table.filter([table[column].notnull() for column in COLUMNS[name]])


def _admitted(tables: dict[str, ir.Table], name: str) -> ir.Table:
    """Coded rows with the time of their admission."""
    admissions = _complete(tables, ADMISSIONS).select(*COLUMNS[ADMISSIONS])
    return _complete(tables, name).inner_join(admissions, ["SUBJECT_ID", "HADM_ID"])


def _prescriptions(tables: dict[str, ir.Table]) -> ir.Table:
    rows = _complete(tables, "PRESCRIPTIONS")
    return rows.filter(rows["ROW_ID"] != OUTLIER)


def events(tables: dict[str, ir.Table]) -> ir.Table:
    """Diagnoses, procedures, prescriptions and laboratory tests."""
    parts = [
        _events(_admitted(tables, name), kind, "ADMITTIME", "ICD9_CODE", "SEQ_NUM")
        for name, kind in CODED.items()
    ]
    prescriptions = _prescriptions(tables).mutate(first=ibis.literal("1"))
    parts.append(_events(prescriptions, "prescription", "STARTDATE", "DRUG", "first"))
    labs = _complete(tables, "LABEVENTS")
    parts.append(_events(labs, "lab", "CHARTTIME", "ITEMID", "ROW_ID"))
    return ibis.union(*parts)


def _events(rows: ir.Table, kind: str, time: str, code: str, order: str) -> ir.Table:
    return rows.select(
        "SUBJECT_ID",
        "__file",
        "__row",
        time=rows[time],
        code=rows[code].strip(),
        type=ibis.literal(kind),
        order=rows[order],
    )


def labels(tables: dict[str, ir.Table]) -> ir.Table:
    """Whether a date of death is known, for every patient with an event."""
    patients = tables[PATIENTS]
    dead = as_text(patients["DOD"]).notnull().ifelse("1", "0")
    known = patients.select("__file", SUBJECT_ID=as_text(patients["SUBJECT_ID"]), death=dead)
    return tables["splits"].inner_join(known, "SUBJECT_ID")


def dropped(tables: dict[str, ir.Table]) -> dict[str, ir.IntegerScalar]:
    counts: dict[str, ir.IntegerScalar] = {}
    for name in COLUMNS:
        if name != PATIENTS:
            complete = _complete(tables, name).count().as_scalar()
            counts[f"{name}: row without a used cell"] = tables[name].count() - complete
    for name in CODED:
        admitted = _admitted(tables, name).count().as_scalar()
        counts[f"{name}: row without its admission"] = _complete(tables, name).count() - admitted
    kept = _prescriptions(tables).count().as_scalar()
    all_rows = _complete(tables, "PRESCRIPTIONS").count()
    counts["PRESCRIPTIONS: row with an outlying date"] = all_rows - kept
    return counts


def untyped(source: Path | None) -> bool:
    # The ids are numbers, which `read` checks; they are text here because a cell may be empty.
    return True
