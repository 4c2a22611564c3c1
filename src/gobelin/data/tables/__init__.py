"""Tables as files and in memory: CSV, lines of JSON, Parquet, Arrow, data frames."""
