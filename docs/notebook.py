"""Writes docs/notebook.ipynb: loraql's Python interface on the sample, run from top to bottom.

    python docs/notebook.py FOLDER

FOLDER is where `loraql run sample` has been run. Its answers and scores become the outputs that the notebook shows.
"""

import argparse
from pathlib import Path
from typing import Any

PAGE = Path(__file__).with_suffix(".ipynb")
CELLS = (
    """# loraql from Python

A fine-tuned text-to-SQL model, asked and scored in a notebook. Run `loraql run sample` in this folder first: it trains a
small model on the sample data, in some minutes and without a GPU.""",
    """
from pipeline import ask, evaluate

museum = "data/raw/sample/database/museum/museum.sqlite"
answer = ask("sample", museum, "How many artists are there?")
print(answer.sql)
answer.rows""",
    """The first argument is a run's name or an exported model's folder; the second is a database: an SQLite file, a CSV
or Parquet file, a folder of them, or the URL of a PostgreSQL or MySQL server. Results come as rows, or as a pandas
`DataFrame`. The model stays loaded between questions.""",
    """
ask("sample", museum, "List the names of all artists from Italy.").frame()""",
    """A model of this size is often wrong. What it writes runs read-only, with limits of time, memory and rows, and a query
that fails raises nothing: the answer tells.""",
    """
answer = ask("sample", museum, "Which artists were born after 1850?")
print(answer.sql)
print(answer.outcome.category, answer.outcome.message, sep=": ")
for warning in answer.warnings:
    print("-", warning)""",
    """Options are those of `loraql ask`. Here five answers are drawn, and the result that most of them return counts.""",
    """
answer = ask("sample", museum, "How many artworks are there?", vote=5, seed=1)
print(answer.sql)
answer.frame()""",
    """`evaluate` gives the scores of the base model and of every checkpoint. What is up to date is read, not measured
again. EX is execution accuracy: the share of questions whose SQL returns what the gold SQL returns.""",
    """
import pandas

scores = evaluate("sample")
rows = []
for model, splits in scores.items():
    for split, figures in splits.items():
        ex = figures["intervals"]["ex"]
        bounds = {"EX": ex["value"], "from": ex["low"], "to": ex["high"]}
        rows.append({"model": model, "split": split, "questions": figures["n"]} | bounds)
pandas.DataFrame(rows).round(3)""",
    """`from` and `to` are the 95% interval. The checkpoint that is exported was chosen on `select`; `dev` was looked at
once, for the base and the chosen one. More is on the pages about [evaluating](evaluating.md) and
[scoring](scoring.md).""",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the sample recipe has been run")
    folder = parser.parse_args().folder
    import nbformat
    from nbclient import NotebookClient

    made = notebook()
    NotebookClient(made, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(folder)}}).execute()
    for cell in made.cells:
        cell.metadata.pop("execution", None)  # times, which are this machine's
        if "outputs" in cell:  # what libraries say of this machine's packages goes to stderr
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    nbformat.write(made, PAGE)


def notebook() -> Any:
    """The cells without outputs; those of code begin with a line break above."""
    from nbformat import v4

    cells = [
        v4.new_code_cell(cell.strip()) if cell.startswith("\n") else v4.new_markdown_cell(cell.strip())
        for cell in CELLS
    ]
    for place, cell in enumerate(cells):
        cell.id = f"cell-{place}"  # the same each time
    made = v4.new_notebook(cells=cells)
    made.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return made


if __name__ == "__main__":
    main()
