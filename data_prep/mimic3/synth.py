"""Artificial tables in the files and columns of MIMIC-III.

Patients who die have other diagnoses, more tests and other drugs. Quirks kept: dates shifted by a
number of years of the patient's own, missing dates of death, codes with leading zeros, missing
ranks, drugs with blanks around them, tests of outpatients, the prescription with a date out of all
bounds.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from grap_seq.prep.fetch.synth import blocks, lengths, write_csv

MEAN_LENGTH = 707.0
DIAGNOSES = np.array(["4280", "0389", "5849", "42731", "41401", "V3000", "2724", "25000", "53081"])
PROCEDURES = np.array(["3893", "9604", "966", "0331", "3722"])
DRUGS = np.array(["Aspirin", "Insulin", " Morphine Sulfate", "Heparin ", "0.9% Sodium Chloride"])
# Share of each table among the events, in the order in which they are written.
SHARES = {"DIAGNOSES_ICD": 0.02, "PROCEDURES_ICD": 0.01, "PRESCRIPTIONS": 0.13, "LABEVENTS": 0.84}
ADMITTED = 3


def write(output: Path, rows: int, seed: int) -> None:
    """PATIENTS, ADMISSIONS and the four tables of events."""
    generator = np.random.default_rng(seed)
    sizes = lengths(rows, MEAN_LENGTH, generator)
    count = len(sizes)
    subjects = np.sort(generator.permutation(2 * count)[:count]) + 3
    dead = generator.random(count) < 0.34
    start = np.datetime64("2100-01-01", "s") + generator.integers(0, 90 * 365, count) * 86400
    admissions = [
        start + number * 200 * 86400 + generator.integers(0, 86400, count)
        for number in range(ADMITTED)
    ]
    death = start + 1000 * 86400
    patients = {
        "ROW_ID": np.arange(count) + 1,
        "SUBJECT_ID": subjects,
        "GENDER": generator.choice(["F", "M"], count),
        "DOB": _text(start - 60 * 365 * 86400),
        "DOD": pa.array(_text(death), mask=~dead),
    }
    write_csv(output / "PATIENTS.csv", [pa.table(patients)])
    admitted = {
        "ROW_ID": np.arange(count * ADMITTED) + 1,
        "SUBJECT_ID": np.tile(subjects, ADMITTED),
        "HADM_ID": np.arange(count * ADMITTED) + 100_000,
        "ADMITTIME": np.concatenate([_text(time) for time in admissions]),
    }
    write_csv(output / "ADMISSIONS.csv", [pa.table(admitted)])
    for name, share in SHARES.items():
        # Each patient has at least one event of each kind, a third of them a procedure.
        least = generator.random(count) < 0.3 if name == "PROCEDURES_ICD" else 1
        parts = np.maximum(least, np.rint(sizes * share * np.where(dead, 1.2, 0.9)).astype(int))
        tables = _tables(name, subjects, parts, dead, np.array(admissions), generator)
        write_csv(output / f"{name}.csv", tables)


def _text(time: NDArray[np.datetime64]) -> NDArray[np.object_]:
    text: NDArray[np.object_] = pd.Series(time).dt.strftime("%Y-%m-%d %H:%M:%S").to_numpy(object)
    return text


def _tables(
    name: str,
    subjects: NDArray[np.int64],
    sizes: NDArray[np.int64],
    dead: NDArray[np.bool_],
    admissions: NDArray[np.datetime64],
    generator: np.random.Generator,
) -> Iterator[pa.Table]:
    """One table of events, in blocks; `admissions` has shape (ADMITTED, patients)."""
    row = 0
    for part in blocks(sizes):
        place = np.repeat(np.arange(part.start, part.stop), sizes[part])
        total = len(place)
        visit = generator.integers(0, ADMITTED, total)
        admitted = visit * len(subjects) + place + 100_000
        columns: dict[str, object] = {
            "ROW_ID": np.arange(row, row + total) + 1,
            "SUBJECT_ID": subjects[place],
            "HADM_ID": admitted,
        }
        row += total
        # Those who die have the first codes more often.
        favour = np.where(dead[place], 0.35, 0.8)
        level = np.power(generator.random(total), 1.0 / (2.0 * favour))
        day = admissions[visit, place] + (generator.random(total) * 5 * 86400).astype(int)
        if name in ("DIAGNOSES_ICD", "PROCEDURES_ICD"):
            codes = DIAGNOSES if name == "DIAGNOSES_ICD" else PROCEDURES
            rank = generator.integers(1, 12, total)
            columns["SEQ_NUM"] = pa.array(rank, mask=generator.random(total) < 0.002)
            columns["ICD9_CODE"] = codes[(level * len(codes)).astype(int)]
        elif name == "PRESCRIPTIONS":
            columns["STARTDATE"] = _text(day.astype("datetime64[D]"))
            columns["DRUG"] = DRUGS[(level * len(DRUGS)).astype(int)]
        else:
            outside = generator.random(total) < 0.2
            columns["HADM_ID"] = pa.array(admitted, mask=outside)
            columns["ITEMID"] = 50_800 + (level * 60).astype(int)
            columns["CHARTTIME"] = _text(day)
            columns["VALUE"] = np.round(generator.lognormal(2.0, 1.0, total), 1)
        yield pa.table(columns)
    if name == "PRESCRIPTIONS":
        outlier: dict[str, list[object]] = {
            "ROW_ID": [1850987],
            "SUBJECT_ID": [int(subjects[0])],
            "HADM_ID": [100_000],
            "STARTDATE": ["1900-01-01 00:00:00"],
            "DRUG": ["Aspirin"],
        }
        yield pa.table(outlier)
