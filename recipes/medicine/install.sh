#!/bin/sh
# What the recipe Medicine reads. The packages of data are no extras of Gobelin: each has its own
# licence. Run it in the environment that Gobelin is installed in.
set -e
pip install 'gobelin[medical]'
pip install --no-deps nilearn torchxrayvision
as_root=$([ "$(id -u)" = 0 ] || echo sudo)
$as_root apt-get install --yes mricron-data invesalius-examples
