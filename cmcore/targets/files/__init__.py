"""Table files: their layout is detected first, checked against limits, and their numbers read last."""

from cmcore.targets.files.bad_table import BadTable
from cmcore.targets.files.csv_file import SEPARATORS, open_csv
from cmcore.targets.files.numerals import Decimal
from cmcore.targets.files.parquet_file import open_parquet
from cmcore.targets.files.table_file import TableFile, result_of

__all__ = ["SEPARATORS", "BadTable", "Decimal", "TableFile", "open_csv", "open_parquet", "result_of"]
