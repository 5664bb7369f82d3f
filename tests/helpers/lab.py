"""A real JupyterLab for tests: served from a folder, and driven through the browser."""

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

# As a person does it: the notebook is open and its kernel is there, then "Run All Cells".
RUN_ALL = """async () => {
  const app = window.jupyterapp;
  await app.restored;
  const panel = app.shell.currentWidget;
  await panel.context.ready;
  await panel.sessionContext.ready;
  await app.commands.execute("notebook:run-all-cells");
}"""
# The cell that holds the controls: only the cells near what is in sight are in the page.
SHOW_CELL = """async (number) => {
  const notebook = window.jupyterapp.shell.currentWidget.content;
  notebook.activeCellIndex = number;
  await notebook.scrollToItem(number);
}"""


@contextlib.contextmanager
def jupyter_lab(folder: Path, settings: Path) -> Iterator[str]:
    """The address of a JupyterLab of this folder; settings: where it keeps its own files."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    own = ("CONFIG_DIR", "RUNTIME_DIR", "DATA_DIR")
    places = {f"JUPYTER_{name}": str(settings / name) for name in own}
    places |= {
        f"JUPYTERLAB_{name}_DIR": str(settings / name) for name in ("SETTINGS", "WORKSPACES")
    }
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}",
        "--ServerApp.port_retries=0", "--ServerApp.ip=127.0.0.1",
        "--IdentityProvider.token=", f"--ServerApp.root_dir={folder}",
        "--LabApp.news_url=None", "--expose-app-in-browser",
    ]  # fmt: skip
    settings.mkdir(parents=True, exist_ok=True)
    with (settings / "log.txt").open("wb") as log:
        server = subprocess.Popen(command, env=os.environ | places, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        with requests.Session() as session:
            again = Retry(120, backoff_factor=0.1, backoff_max=1)
            session.mount("http://", HTTPAdapter(max_retries=again))
            session.get(f"{address}/api/status").raise_for_status()
        yield address
    finally:
        server.terminate()  # it ends its kernels
        server.wait(60)
