#!/bin/sh
# Packages of the finance recipe that are no extras: their data and weights are read, nothing else.
# skfolio: daily closes of 20 stocks (BSD-3). fracast: the zero-shot forecaster (Apache-2.0).
set -e
python -m pip install --no-deps skfolio fracast
