"""Looks at pages of `coxswain report` in headless Chromium.

browse.py CHROMIUM WORK [--dark] PAGE...: puts a copy of each page, with check_page.js in it, into
frames as wide as a desk's window, a phone's, and paper (with the rules for print in force), loads
all of them in one browser, and prints a line per fault. Exit 1: there are faults, or the browser
wrote an error to its console, or a page did not answer."""
import json, os, re, subprocess, sys

WIDTHS = {"desk": 1200, "phone": 390, "paper": 718}  # paper: A4 less margins of 1 cm at 96 dpi


def copy_with_script(page, work, name, paper):
    here = os.path.dirname(os.path.abspath(__file__))
    text = open(page, encoding="utf-8").read()
    if paper:
        text = text.replace("@media print", "@media all").replace("@media screen", "@media not all")
    script = open(os.path.join(here, "check_page.js"), encoding="utf-8").read()
    flag = "window.CHECK_PAPER = true;" if paper else ""
    with open(os.path.join(work, name), "w", encoding="utf-8") as f:
        f.write(text + "<script>" + flag + script + "</script>")


def driver(frames):
    parts = ["<!doctype html><meta charset=utf-8><title>pages</title><pre id=out></pre><script>\n"
             "const out = {}; addEventListener('message', (m) => { for (const f of document.querySelectorAll('iframe'))\n"
             "  if (f.contentWindow === m.source) out[f.name] = m.data;\n"
             "  document.getElementById('out').textContent = 'VERDICT' + JSON.stringify(out) + 'END'; });\n</script>"]
    for name, width in frames:
        parts.append('<iframe name="%s" src="%s" style="width:%dpx;height:900px;border:0"></iframe>' % (name, name, width))
    return "\n".join(parts)


def main():
    chromium, work, pages = sys.argv[1], sys.argv[2], sys.argv[3:]
    dark = "--dark" in pages
    pages = [p for p in pages if p != "--dark"]
    os.makedirs(work, exist_ok=True)
    frames, origin = [], {}
    for i, page in enumerate(pages):
        for kind, width in WIDTHS.items():
            name = "page%d-%s.html" % (i, kind)
            copy_with_script(page, work, name, kind == "paper")
            frames.append((name, width))
            origin[name] = "%s (%s, %s)" % (page, kind, "dark" if dark else "light")
    start = os.path.join(work, "all.html")
    with open(start, "w") as f:
        f.write(driver(frames))
    run = subprocess.run(
        [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--disable-dev-shm-usage", "--user-data-dir=" + os.path.join(work, "profile"),
         "--blink-settings=preferredColorScheme=%d" % (0 if dark else 1), "--enable-logging=stderr", "--v=0",
         "--virtual-time-budget=60000", "--dump-dom", "file://" + os.path.abspath(start)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=240, text=True, errors="replace")
    bad = ["console: " + l for l in run.stderr.splitlines() if "CONSOLE" in l]
    found = re.search(r'<pre id="out">VERDICT(.*?)END</pre>', run.stdout, re.S)
    verdict = json.loads(found.group(1).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")) if found else {}
    if not found:
        bad.append("the browser gave no verdict: " + run.stderr[-500:])
    for name, where in origin.items():
        if name not in verdict:
            bad.append(where + ": no answer")
            continue
        if verdict[name]["dark"] != dark:
            bad.append(where + ": the browser shows the other color scheme")
        bad += [where + ": " + f for f in verdict[name]["faults"]]
    print("\n".join(bad) if bad else "%d pages, %d drawings" % (len(pages), sum(v["drawings"] for v in verdict.values())))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
