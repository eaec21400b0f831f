"""The plain functions behind Flask: `python -m …flask_app PORT`."""

from __future__ import annotations

import logging
import sys

import flask
import inngest.flask

from .seen import seen
from .sync_functions import client, functions

app = flask.Flask(__name__)


@app.before_request
def count() -> None:
    if flask.request.method == "POST":
        seen("call", f"{flask.request.args.get('fnId')} {flask.request.args.get('stepId')}")


inngest.flask.serve(app, client, functions)

if __name__ == "__main__":
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    app.run(host="127.0.0.1", port=int(sys.argv[1]), threaded=True)
