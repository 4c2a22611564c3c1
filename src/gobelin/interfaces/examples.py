"""An example of each verb, shown at the end of `VERB --help`. Each is a line of a page whose blocks
the tests run."""

from __future__ import annotations

EXAMPLES = {
    "check": "gobelin check records.csv --target group --run runs/first",
    "fit": "gobelin fit records.csv --target group --run runs/first --generator vaegan",
    "evaluate": "gobelin evaluate runs/first",
    "predict": "gobelin predict runs/first new.csv --out pred.csv",
    "search": 'gobelin search runs/first --text "a red apple" --row "weight=120" -k 5',
    "describe": "gobelin describe runs/first --image photos/1.png",
    "explain": "gobelin explain runs/first --image photos/1.png --out why",
    "generate": "gobelin generate runs/first --label apple -n 4 --out by_class",
    "augment": "gobelin augment runs/first --export training-set",
    "audit": "gobelin audit runs/first",
    "report": "gobelin report runs/first",
    "leaderboard": "gobelin leaderboard runs/first",
    "index": "gobelin index runs/first --add more.csv",
    "curate": "gobelin curate runs/first --export curated",
    "list": "gobelin list generators",
    "settings": "gobelin settings align",
    "show": "gobelin show runs/first",
    "save": "gobelin save runs/first my-model",
    "demo": "gobelin demo",
    "keys": "gobelin keys new my-keys",
    "forget": "gobelin forget runs/first --group 12",
    "lineage": "gobelin lineage runs/first 12",
    "verify": "gobelin verify by_class --trust my-keys/authority.pem",
}
