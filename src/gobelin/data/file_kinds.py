"""Data files that are not read, by their beginning and by their suffix, each with the command that
makes a readable file of it.
"""

from __future__ import annotations

import re
from pathlib import Path

from gobelin.core.shell import shell_line, shell_word

HEAD = 512  # bytes that tell what a file is
GIT_LFS = b"version https://git-lfs.github.com/spec/"
HTML = re.compile(
    rb"\s*(?:<!doctype html|<html|<\?xml[^>]*>\s*<(?:html|!doctype html))", re.IGNORECASE
)
PACKED = {"gz": "gunzip -k", "bz2": "bunzip2 -k", "xz": "unxz -k", "zst": "unzstd"}
# beginning of a file -> what it is, and the name of its remedy
BEGINNINGS = (
    (b"\x1f\x8b", "gz"),
    (b"BZh", "bz2"),
    (b"\xfd7zXZ\0", "xz"),
    (b"(\xb5/\xfd", "zst"),
    (b"PK\x03\x04", "zip"),
    (b"\xd0\xcf\x11\xe0", "excel"),
    (b"PAR1", "parquet"),
    (b"ARROW1", "feather"),
    (b"\x89HDF", "hdf"),
    (b"SQLite format 3", "sqlite"),
    (b"Obj\x01", "avro"),
    (b"ORC", "orc"),
    (b"\x93NUMPY", "npy"),
)
SUFFIXES = {
    **dict.fromkeys((".xlsx", ".xls", ".xlsm", ".xlsb", ".ods"), "excel"),
    **dict.fromkeys((".feather", ".arrow", ".ipc"), "feather"),
    **dict.fromkeys((".h5", ".hdf5", ".hdf"), "hdf"),
    **dict.fromkeys((".db", ".sqlite", ".sqlite3"), "sqlite"),
    **dict.fromkeys((".pkl", ".pickle"), "pickle"),
    **dict.fromkeys((".zip", ".tar", ".tgz", ".7z", ".rar"), "zip"),
    **dict.fromkeys((".dta", ".sav", ".sas7bdat"), "statistics"),
    **{".orc": "orc", ".avro": "avro", ".xml": "xml", ".npy": "npy", ".npz": "npy"},
    **{f".{name}": name for name in PACKED},
}
PACKED_SETS = (".npz", ".tar")  # archives that a reader reads as they are
TEXT_SUFFIXES = (".csv", ".tsv", ".txt")
# names are arguments: within the program, a shell or Python would read what they hold
PANDAS = 'python -c "import pandas, sys; pandas.{read}(sys.argv[1]).{write}" {names}'
# a workbook's columns often hold numbers and words, which no column of a Parquet file does
WORKBOOK = (
    " (needs: pip install pandas openpyxl). Where titles stand above the names of the columns,"
    " write read_excel(sys.argv[1], header=2), for the third line"
)
# what it is, and pandas' function that reads it
READ_BY_PANDAS = {
    "excel": ("an Excel or Calc workbook", "read_excel"),
    "feather": ("a Feather or Arrow file", "read_feather"),
    "hdf": ("an HDF5 file", "read_hdf"),
    "orc": ("an ORC file", "read_orc"),
    "xml": ("an XML file", "read_xml"),
    "pickle": ("a pickle, which can run any program", "read_pickle"),
}
OTHERS = {
    "sqlite": "an SQLite database; write the table as CSV: sqlite3 -header -csv FILE 'select * from"
    " TABLE' > table.csv",
    "avro": "an Avro file; write it as Parquet or JSON lines",
    "npy": "a NumPy array, not a table; name such files in a column of a CSV file, or write"
    " train_images, train_labels, test_images ... into one .npz file",
    "statistics": "a file of Stata, SPSS or SAS; save it as CSV there",
    "zip": "an archive; unpack it, and give the table or the folder in it",
}


def unread(path: Path, claimed: bool) -> str:
    """What a file is that is not read, or that its suffix names wrongly, with the remedy; '' for
    any other file. claimed: whether a reader claims it.
    """
    with path.open("rb") as file:
        head = file.read(HEAD)
    if head.startswith(GIT_LFS):
        return "is a pointer of Git LFS, not the data. Fetch them: git lfs pull"
    if HTML.match(head):
        return "is a web page, not a table, such as a login or an error page"
    kind = next((kind for start, kind in BEGINNINGS if head.startswith(start)), "")
    suffix = path.suffix.lower()
    if kind == "parquet":
        wrong = suffix not in (".parquet", ".pq")
        return "is a Parquet file. Give it a name that ends in .parquet" if wrong else ""
    if suffix in TEXT_SUFFIXES and head.lstrip()[:2] in (b"[{", b'{"'):
        return "is JSON. Give it a name that ends in .json, or .jsonl for one object a line"
    if claimed and suffix in PACKED_SETS:
        return ""
    if kind == "zip" and (suffix in (".xlsx", ".xlsm", ".ods") or b"xl/" in head):
        kind = "excel"
    if not kind and claimed:
        return ""
    return _remedy(kind or SUFFIXES.get(suffix, ""), path)


def _remedy(kind: str, path: Path) -> str:
    here = Path.cwd()
    name = str(path.relative_to(here) if path.is_relative_to(here) else path)
    name = f"./{name}" if name.startswith("-") else name  # else it is an option
    if kind in PACKED:
        return f"is packed. Unpack it: {PACKED[kind]} {shell_word(name)}"
    if kind in READ_BY_PANDAS:
        what, read = READ_BY_PANDAS[kind]
        write, ending, hint = "to_parquet(sys.argv[2])", ".parquet", ""
        if kind == "excel":
            write, ending, hint = "to_csv(sys.argv[2], index=False)", ".csv", WORKBOOK
        names = shell_line([name, str(Path(name).with_suffix(ending))])
        command = PANDAS.format(read=read, write=write, names=names)
        return f"is {what}. Save it as CSV, or convert it: {command}{hint}"
    return f"is {OTHERS[kind]}" if kind in OTHERS else ""
