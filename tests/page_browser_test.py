#!/usr/bin/env python3
"""The page of `lockstep report --html` in a real browser without a network: everything is shown, the
console stays silent. A page that does ask for something shows that the console would not.

Usage: page_browser_test.py SOURCE LOCKSTEP
"""
import pathlib
import subprocess
import sys
import tempfile

import matplotlib.image

SOURCE, LOCKSTEP = (pathlib.Path(a).resolve() for a in sys.argv[1:])
FILES = ["--report", "report.json", "--links", "links.csv"]
SHOWN = ("Runs beside each other", "Plan and figures", "SRAM of the fullest chip",
         "Where a token's cycles go", "Pipeline", "Links", "Timeline, the first cycles",
         "Comparison", "all_reduce: bus bandwidth", "Table")


def lockstep(folder, *arguments):
    folder.mkdir(exist_ok=True)
    done = subprocess.run([LOCKSTEP, *map(str, arguments)], cwd=folder, capture_output=True,
                          text=True, timeout=300)
    assert done.returncode == 0, (arguments, done.stderr)


def browse(home, page, *options):
    """What the page became, and what its console said."""
    done = subprocess.run(
        ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
         "--disable-dev-shm-usage", f"--user-data-dir={home}/profile", "--enable-logging=stderr",
         "--host-resolver-rules=MAP * ~NOTFOUND", *options, page.as_uri()],
        capture_output=True, text=True, timeout=240, env={"HOME": str(home), "PATH": "/usr/bin:/bin"})
    assert done.returncode == 0, done.stderr
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def make_page(folder):
    run = ["run", "--engine", "timing", "--transport", "local", "--model",
           SOURCE / "models" / "story", "--prompt-ids", "1", "--tokens", "1", "--table", "table.txt",
           *FILES]
    lockstep(folder / "node", *run, "--topology", "groqnode", "--timeline", "timeline.json")
    lockstep(folder / "pipeline", *run, "--topology", "groqrack", "--nodes", "2")
    lockstep(folder / "compare", "compare", "--sizes", "1K:256K:4", "--check", "1", "--csv",
             "report.csv")
    page = folder / "page.html"
    lockstep(folder, "report", "--html", page, *[o for name in ("node", "pipeline", "compare")
                                                 for o in ("--from", folder / name)])
    return page


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        page = make_page(folder)
        text = page.read_text()
        for scheme in ("src=", "url(", "@import", "<script"):
            assert scheme not in text, scheme
        dom, console = browse(folder, page, "--dump-dom")
        for what in SHOWN:
            assert what in dom, what
        assert not console, console
        # The same test on a page that asks for something: it is refused, and the console says so.
        asking = folder / "asking.html"
        asking.write_text(text.replace("</body>", "<img src='http://192.0.2.1/a.png'></body>"))
        assert browse(folder, asking, "--dump-dom")[1], "the console of a bad page is silent"
        picture = folder / "page.png"
        browse(folder, page, f"--screenshot={picture}", "--window-size=1000,4000")
        pixels = matplotlib.image.imread(picture)
        colours = {tuple(p) for p in (pixels[::3, ::3, :3] * 255).astype(int).reshape(-1, 3)}
        assert len(colours) > 40, f"{len(colours)} colours"
    print(f"page: {len(SHOWN)} parts shown, {len(colours)} colours, console silent")


if __name__ == "__main__":
    main()
