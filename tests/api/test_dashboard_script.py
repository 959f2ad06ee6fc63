"""The dashboard's modules as one script: what it says, and what it refuses to join."""

from __future__ import annotations

import pytest

from rq_broker.api.dashboard_script import join

MODULES = {
    "js/app.js": 'import { Row, SIZE } from "./views/row.js";\nRow(SIZE);\n',
    "js/dom.js": 'export {\n  html, render,\n} from "../vendor/dom.module.js";\n',
    "js/views/row.js": 'import { html } from "../dom.js";\n'
    "export const SIZE = 2;\nconst own = 1;\nexport async function Row(n) { html(n, own); }\n",
}
JOINED = """\
import * as vendored4 from "../vendor/dom.module.js";
const m3 = (() => {
const { html, render } = vendored4;
return { html, render };
})();
const m2 = (() => {
const { html } = m3;
const SIZE = 2;
const own = 1;
async function Row(n) { html(n, own); }
return { SIZE, Row };
})();
const m1 = (() => {
const { Row, SIZE } = m2;
Row(SIZE);
return {  };
})();
"""


def test_modules_become_functions() -> None:
    """Each module stands once, behind what it imports; names it does not export stay its own."""
    assert join(MODULES, "js/app.js", "js") == JOINED


@pytest.mark.parametrize(
    ("app", "says"),
    [
        ('import { Cell } from "./views/row.js";\n', "views/row.js exports no 'Cell'"),
        ('import { own } from "./views/row.js";\n', "views/row.js exports no 'own'"),
        ('import { Row as R } from "./views/row.js";\n', "exports no 'Row as R'"),
        ('import { App } from "./app.js";\n', "app.js imports itself"),
        ('import "./views/row.js";\n', 'cannot be joined: import "./views/row.js"'),
        ("import Row from './views/row.js';\n", "cannot be joined: import Row"),
        ("export default 3;\n", "cannot be joined: export default"),
        ("export let count = 0;\n", "cannot be joined: export let"),
    ],
)
def test_what_is_not_known_is_refused(app: str, says: str) -> None:
    """A statement that would mean something else in the script, and a missing name, are errors."""
    with pytest.raises(ValueError, match=says):
        join({**MODULES, "js/app.js": app}, "js/app.js", "js")
