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

from grap_seq.prep.read.sources import need_table, part_files, read_rows, source_folder
from grap_seq.prep.stages.clean import as_text
from grap_seq.prep.stages.splits import ids_of, tail_split

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
# All times are dates, as text: nothing has to be looked at.
TIME_KIND = "timestamp"
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
    return part_files(_parts(source))


def _parts(source: Path | None) -> dict[str, Path]:
    folder = source_folder(source, "mimic3", REMEDY)
    return {name: need_table(folder, name, REMEDY) for name in COLUMNS}


def read(connection: Any, source: Path | None) -> dict[str, ir.Table]:
    parts = _parts(source)
    tables = {name: read_rows(connection, path, COLUMNS[name]) for name, path in parts.items()}
    # A small table that several others are joined with.
    tables[ADMISSIONS] = connection.held(tables[ADMISSIONS])
    return tables


def events(tables: dict[str, ir.Table]) -> ir.Table:
    """Diagnoses, procedures, prescriptions and laboratory tests."""
    admissions = _checked(tables, ADMISSIONS)
    lacking = admissions["__left_out"].notnull()
    admitted = admissions.filter(~lacking).select(*COLUMNS[ADMISSIONS])
    # Admissions are no events: the ones that cannot be used are only counted.
    unused = admissions.filter(lacking)
    parts = [_events(unused, "admission", "ADMITTIME", "HADM_ID", "HADM_ID")]
    for name, kind in CODED.items():
        rows = _checked(tables, name).left_join(admitted, ["SUBJECT_ID", "HADM_ID"])
        unknown = ibis.ifelse(
            rows["ADMITTIME"].isnull(), f"{name}: row without its admission", ibis.null("string")
        )
        rows = rows.mutate(__left_out=rows["__left_out"].fill_null(unknown))
        parts.append(_events(rows, kind, "ADMITTIME", "ICD9_CODE", "SEQ_NUM"))
    drugs = _checked(tables, "PRESCRIPTIONS").mutate(first=ibis.literal("1"))
    outlier = ibis.ifelse(
        drugs["ROW_ID"] == OUTLIER,
        "PRESCRIPTIONS: row with an outlying date",
        ibis.null("string"),
    )
    drugs = drugs.mutate(__left_out=drugs["__left_out"].fill_null(outlier))
    parts.append(_events(drugs, "prescription", "STARTDATE", "DRUG", "first"))
    labs = _checked(tables, "LABEVENTS")
    parts.append(_events(labs, "lab", "CHARTTIME", "ITEMID", "ROW_ID"))
    return ibis.union(*parts)


def _checked(tables: dict[str, ir.Table], name: str) -> ir.Table:
    """Used cells as text; rows that lack one are to be left out."""
    table = tables[name]
    table = table.mutate(**{column: as_text(table[column]) for column in COLUMNS[name]})
    lacking = ibis.or_(*(table[column].isnull() for column in COLUMNS[name]))
    reason = ibis.ifelse(lacking, f"{name}: row without a used cell", ibis.null("string"))
    return table.mutate(__left_out=reason)


def _events(rows: ir.Table, kind: str, time: str, code: str, order: str) -> ir.Table:
    return rows.select(
        "SUBJECT_ID",
        "__file",
        "__row",
        "__left_out",
        time=rows[time],
        code=rows[code].strip(),
        type=ibis.literal(kind),
        order=rows[order],
    )


def labels(connection: Any, tables: dict[str, ir.Table], events: ir.Table) -> ir.Table:
    """Whether a date of death is known, for every patient with an event."""
    used = events.filter(events["__left_out"].isnull())
    wrong = used.filter(~used["SUBJECT_ID"].re_search("^[0-9]+$")).limit(1)
    for row in connection.to_pyarrow(wrong).to_pylist():
        raise ValueError(
            f"{row['__file']}, row {row['__row']}: SUBJECT_ID {row['SUBJECT_ID']!r} is no number; "
            "correct the file"
        )
    subjects = ids_of(connection, used, "SUBJECT_ID")
    split = tail_split([int(subject) for subject in subjects], [], test=TEST, validation=VALIDATION)
    ids = pa.array([str(subject) for subject in split], pa.string())
    splits = ibis.memtable(pa.table({"SUBJECT_ID": ids, "split": pa.array(split.values())}))
    patients = tables[PATIENTS]
    dead = as_text(patients["DOD"]).notnull().ifelse("1", "0")
    known = patients.select("__file", SUBJECT_ID=as_text(patients["SUBJECT_ID"]), death=dead)
    return splits.inner_join(known, "SUBJECT_ID")


def untyped(source: Path | None) -> bool:
    # The ids are numbers, which `read` checks; they are text here because a cell may be empty.
    return True
