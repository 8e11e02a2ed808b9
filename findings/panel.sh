#!/usr/bin/env bash
# panel 1.9.4 and distributed 2026.8.0: importing Panel empties pages of Dask's dashboard.
#
# What one expects: a notebook that draws with Panel, or with HoloViews, which imports it, does not
# change the dashboard of a LocalCluster that lives in the same process.
# What it does: most of Dask's pages let bokeh put everything into one place of the template
# (plot_div). With Panel imported that place is not in the page any more, though its script still
# asks for it, so that a browser says "could not find ... HTML tag" and shows nothing. The page
# /status names its places one by one, and is whole.
#
# Output seen (panel 1.9.4, bokeh 3.9.2, distributed 2026.8.0, Python 3.11, Linux x86-64):
#   status, without panel: 5 of 5 places there
#   workers, without panel: 1 of 1 places there
#   status, with panel: 5 of 5 places there
#   workers, with panel: 0 of 1 places there
# What follows: a page of one's own names its roots one by one.
# Ends with 1 if that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "panel==1.9.4" "bokeh==3.9.2" "distributed==2026.8.0"
cd "$folder"
cat >pages.py <<'PYTHON'
import re
import sys
import urllib.request

from distributed import LocalCluster

if sys.argv[1] == "with":
    import panel  # noqa: F401 - that is all

if __name__ == "__main__":
    here = {"host": "127.0.0.1", "protocol": "tcp://", "dashboard_address": "127.0.0.1:0"}
    with LocalCluster(0, processes=False, **here) as cluster:
        url = f"http://127.0.0.1:{cluster.scheduler.http_server.port}"
        for page in ("status", "workers"):
            html = urllib.request.urlopen(f"{url}/{page}").read().decode()
            places = re.findall(r'":"([0-9a-f-]{36})"', re.search(r'"roots":{[^}]*}', html)[0])
            there = sum(f'id="{place}"' in html for place in places)
            print(f"{page}, {sys.argv[1]} panel: {there} of {len(places)} places there")
PYTHON
for way in without with; do "$folder/venv/bin/python" pages.py "$way"; done | tee seen
diff seen - <<'SEEN'
status, without panel: 5 of 5 places there
workers, without panel: 1 of 1 places there
status, with panel: 5 of 5 places there
workers, with panel: 0 of 1 places there
SEEN
