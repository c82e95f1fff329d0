#!/usr/bin/env bats
# runs-report: the page is read back by tests/track/read_page.py, which also checks that it is well
# formed, loads nothing and has no script.  The runs are those of tests/track/make_runs.py.

load helper

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    python3 "$ROOT/tests/track/make_runs.py"
}

teardown() {
    release_lock
}

tables() {
    python3 "$ROOT/tests/track/read_page.py" "$1"
}

@test "the tables have the numbers of the runs" {
    runs-report --quiet -o page.html runs 2>warning
    tables page.html | sed 's/ resnet18[: ]width=8/ R/; s/ × multiplicative/ x M/' >rows
    # Runs measured on the test images first, then the others, each by accuracy.
    diff rows - <<END
Run | Family | Fusion | Experts, before → after | Best checkpoint | Training
mean | best | Experts, mean | Best expert | Ensemble | Fused | Gain | Seen \
| Single network | Seen | Calibr. error | Images | Epochs | Time | Device
done | R | multiplicative | 1.38 → 10.12 | 1.50 → 10.75 | 42.88 | 44.25 | 50.75 | 55.55 \
| +4.00 ± 3.88 | 36 | 48.50 | 36 | 2.50 | 200 test | 4/4 | 1:02:05 | cpu fp32
<b>&"evil' failed | R | <script>alert(1)</script> | 67.12 | 67.75 | 67.12 | 67.75 | 69.00 \
| 71.00 | +2.00 | 36 | 48.50 | 36 | 3.00 | 50 validation | 1/4 | 1:02:05 | –
diverged diverged | R | multiplicative | 47.12 | 47.75 | 47.12 | 47.75 | 49.00 | 51.00 | +2.00 \
| 36 | 48.50 | 36 | 3.00 | 50 validation | 1/4 | 1:02:05 | –
dead dead | R | multiplicative | 3.38 → 27.12 | 3.50 → 27.75 | 27.12 | 27.75 | 29.00 | 31.00 \
| +2.00 | – | 48.50 | 36 | 3.00 | 50 validation | 1/4 | 0:01:40 | –
under/way dead | R | multiplicative | 2.38 → 18.12 | 2.50 → 18.75 | 18.12 | 18.75 | 20.00 \
| 22.00 | +2.00 | – | 48.50 | 36 | 3.00 | 50 validation | 2/4 | 0:03:20 | –
stopped stopped | R | multiplicative | 16.12 | 16.75 | 16.12 | 16.75 | 18.00 | 20.00 | +2.00 \
| 36 | 48.50 | 36 | 3.00 | 50 validation | 2/4 | 1:02:05 | –
Run | Expert 0 | Expert 1 | Mean change | Images
done R x M | 1.25 → 10.75 | 1.50 → 9.50 | +8.75 | 50 validation
dead dead R x M | 3.25 → 27.75 | 3.50 → 26.50 | +23.75 | 50 validation
under/way dead R x M | 2.25 → 18.75 | 2.50 → 17.50 | +15.75 | 50 validation
Run | Accuracy | Calibration error | Images
single R, single network on all images | 48.50 | 2.50 | 200 test
END
    grep -q 'href="#run-' page.html
    assert_equal "$(cat warning)" \
        "runs-report: warning: runs/broken/history.jsonl: line 2: '[' or '{' expected near 'not'"
}

@test "a run is compared with the single network of its seed, and what its experts saw is added" {
    mkdir runs/{mine,expert}
    sed 's/"seed": 6/"seed": 1/; s/48.5/47.5/g' runs/single/metrics.jsonl >runs/mine/history.jsonl
    sed 's/"seed": 6/"seed": 1/; s/"all"/"0"/' runs/single/metrics.jsonl >runs/expert/history.jsonl
    runs-report --quiet -o page.html runs
    tables page.html >rows
    grep -q '^done .* +4.00 ± 3.88 | 72 | 47.50 | 36 | 2.50 | 200 test ' rows
    grep -q '^diverged .* | 72 | 47.50 | 36 | 3.00 | 50 ' rows # none of its seed
}

@test "each run has its section: state, curves, configuration" {
    runs-report --quiet -o page.html runs
    # Of nine, the broken one and the one that has told nothing yet have none.
    assert_equal "$(grep -c '<section id="run-' page.html)" 7
    assert_equal "$(grep -c '<figure>' page.html)" 16
    run sed -n '/<h3>done</,/<\/section>/p' page.html
    assert_line --partial 'epoch 4 of 4; best validation 14.00 %; 250.5 images/s; took 1:02:05'
    assert_line '<div><dt>arch</dt><dd>resnet18:width=8</dd></div>'
    assert_line '<div><dt>seed</dt><dd>1</dd></div>'
    assert_line --partial 'fused, epoch 3: 13</title>'
    assert_line --partial 'expert 1, epoch 4: 9.5</title>'
    refute_line --partial 'fused, epoch 2: -'
    run grep 'loss is not finite' page.html
    assert_success
}

# looks PAGE CAPTION: the different looks, of how many curves, in the chart with this caption.
looks() {
    python3 - "$@" <<'END'
import re, sys
page, caption = open(sys.argv[1]).read(), sys.argv[2]
chart = page[page.index(f"<figcaption>{caption}</figcaption>"):].partition("</figure>")[0]
keys = re.findall(r'<li>.*?class="line (.*?)".*?d="M15 4(.*?)"', chart)
print(len(set(keys)), len(keys))
END
}

@test "however many runs there are, no two curves of a chart look the same" {
    for i in $(seq 100); do mkdir "runs/r$i" && cp runs/done/history.jsonl "runs/r$i"; done
    runs-report --quiet -o page.html runs
    # One architecture, one chart: 100 and the six that have an epoch.
    assert_equal "$(looks page.html 'Validation accuracy, %: resnet18:width=8')" "106 106"
    # Experts of another are in a chart of their own.
    sed -i s/resnet18:width=8/densenet121/ runs/r?/history.jsonl
    runs-report --quiet -o page.html runs
    assert_equal "$(looks page.html 'Validation accuracy, %: resnet18:width=8')" "97 97"
    assert_equal "$(looks page.html 'Validation accuracy, %: densenet121')" "9 9"
    # A run of many experts.
    python3 - <<'END'
import json
lines = [json.loads(line) for line in open("runs/done/history.jsonl")]
for line in lines:
    for member in ("expert_accuracy", "expert_loss", "test_expert_accuracy"):
        if member in line:
            line[member] = list(range(64))
    line["experts"] = 64
with open("runs/done/history.jsonl", "w") as out:
    out.writelines(json.dumps(line) + "\n" for line in lines)
END
    runs-report --quiet -o page.html runs/done
    assert_equal "$(looks page.html 'Validation loss')" "67 67"
}

@test "what fusion-eval measured is a table, a reliability diagram and a confusion picture" {
    python3 - <<'END'
import json, os
heads = lambda name, fused, ensemble, experts: {
    name: fused, "ensemble_" + name: ensemble, "expert_" + name: experts}
os.makedirs("evals/one")
with open("evals/one/metrics.jsonl", "w") as out:
    for event in [
        {"event": "start", "arch": "resnet18", "fusion": "gated", "experts": 1},
        {"event": "eval", "split": "test", "images": 8, **heads("accuracy", 75.0, 50.0, [25.0]),
         **heads("accuracy_low", 60.5, 40.0, [12.5]), **heads("accuracy_high", 90.25, 60.0, [37.5]),
         **heads("brier", 0.5, 0.625, [1.25]), "gain": 25.0, "gain_low": -5.0, "gain_high": 45.0,
         "mcnemar_p": 0.125},
        {"event": "class", "class": 0, "name": "<i>", "images": 4, "predicted": [3, 1]},
        {"event": "class", "class": 1, "name": "b", "images": 4, "predicted": [0, 4, "x"]},
        {"event": "class", "class": 1e99, "predicted": 7},
        *({"event": "bin", "bin": i, **heads("probability", i / 15, None, [None]),
           **heads("accuracy", 50.0, None, [None])} for i in range(99)),
        *({"event": "corruption", "corruption": name, "severity": s, "images": 8,
           **heads("error", 10.0 * s, 20.0, [30.0 + s])}
          for name, last in (("fog", 5), ("<b>", 2)) for s in range(1, last + 1)),
        {"event": "corruption", "corruption": "fog", "severity": 1e9, "error": 1},
        {"event": "corruption", "severity": 1},
        {"event": "robustness", "corruptions": 1, **heads("mean_error", 30.0, 20.0, [33.0]),
         **heads("mce", 75.0, 80.0, [90.0])},
        {"event": "ood", **heads("msp_auroc", 70.5, 60.25, [50.0]),
         **heads("energy_fpr95", 90.0, 91.0, [92.0]), "disagreement_auroc": 55.0},
        {"event": "attack", "attack": "pgd", "epsilon": 8 / 255, "steps": 10,
         **heads("accuracy", 12.5, 37.5, [0.0]), **heads("loss", 3.5, 2.5, [9.0])},
        {"event": "end", "status": "done"}]:
        out.write(json.dumps(event) + "\n")
END
    runs-report --quiet -o page.html evals
    run tables page.html
    assert_line "fused | 75.00 | 60.50 … 90.25 | – | – | – | 0.5000 | – | –"
    assert_line "expert 0 | 25.00 | 12.50 … 37.50 | – | – | – | 1.2500 | – | –"
    assert_line "fog | 10.00 | 20.00 | 30.00 | 40.00 | 50.00 | 30.00 | 20.00 | 33.00"
    assert_line "<b> | 10.00 | 20.00 | – | – | – | 15.00 | 20.00 | 31.50"
    assert_line "fused | 70.50 | – | – | – | – | – | – | 90.00"
    assert_line "expert 0 | 50.00 | – | – | – | – | – | – | 92.00"
    assert_line "disagreement of the experts | 55.00 | – | – | –"
    assert_line "pgd, ε = 8/255, 10 steps | 75.00 | 12.50 | 37.50 | 0.00 | 3.5000"
    run cat page.html
    assert_line --partial "benchmark: 30.00 %, ensemble 20.00 %; mCE relative to the baseline 75.0"
    assert_line --partial "ensemble: +25.00 points, 95 % from -5.00 to +45.00, McNemar’s p 0.12."
    assert_line --partial ">probability</text>"
    assert_line --partial "fused, probability 20: 50</title>"
    assert_line '<path class="cell" fill-opacity="0.375" d="M1 0h1v1h-1z"/>'
    assert_line '<path class="cell" fill-opacity="0.875" d="M0 0h1v1h-1z"/>'
    assert_line '<path class="cell" fill-opacity="1" d="M1 1h1v1h-1z"/>'
    assert_line '<p class="soft">Most often confused: 25 % of &lt;i&gt; taken for b.</p>'
}

@test "a run whose lock is held is running" {
    hold_lock runs/under/way/lock
    runs-report --quiet -o page.html runs
    tables page.html >rows
    grep -q '^under/way running ' rows
    grep -q '^dead dead ' rows
}

@test "text from a run cannot become markup" {
    runs-report --quiet --title '<i>"&' -o page.html runs
    tables page.html >/dev/null
    grep -q '<title>&lt;i&gt;&quot;&amp;</title>' page.html
    grep -q '&lt;img src=x&gt;' page.html
    grep -q '&lt;/details&gt;&#xfffd;' page.html
}

@test "the same runs give the same bytes, on stdout too, and a single run is enough" {
    runs-report --quiet -o one.html runs
    runs-report --quiet runs/ >two.html
    cmp one.html two.html
    run -0 --separate-stderr runs-report runs/done
    assert_equal "$stderr" ""
    echo "$output" >single.html
    assert_regex "$(tables single.html)" $'\ndone resnet18'
    assert_regex "$output" '1 run, 1 done; as of 2026-01-01 05:00:00'
}

@test "what cannot be reported is refused, and no page is left" {
    mkdir empty
    fails_with 3 "runs-report: empty: no runs below it: no history.jsonl, no metrics.jsonl" \
        runs-report -o page.html empty
    fails_with 1 "runs-report: nothing: No such file or directory" runs-report -o page.html nothing
    fails_with 3 "runs-report: runs/done/lock: is empty, not a directory of runs; *" \
        runs-report -o page.html runs/done/lock
    run -2 runs-report
    run -2 runs-report runs runs
    fails_with 1 'runs-report: stdout: No space left on device' \
        bash -c 'runs-report runs/done >/dev/full'
}

@test "a disk that fails within a line makes no page without that run" {
    # Files in runs/failing give twenty bytes, and then EIO.
    cat >failing.c <<'END'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
static ssize_t fail(void *left, char *bytes, size_t n)
{
    (void)n;
    if (*(int *)left == 0) {
        errno = EIO;
        return -1;
    }
    *(int *)left = 0;
    memcpy(bytes, "{\"event\":\"start\",\"ex", 20);
    return 20;
}
FILE *fopen(const char *path, const char *mode)
{
    static int left = 1;
    FILE *(*next)(const char *, const char *) = dlsym(RTLD_NEXT, "fopen");
    cookie_io_functions_t io = { .read = fail };
    return strstr(path, "failing/") ? fopencookie(&left, "r", io) : next(path, mode);
}
END
    cc -shared -fPIC -o failing.so failing.c -ldl
    cp -r runs/done runs/failing
    run -1 --separate-stderr env LD_PRELOAD="$PWD/failing.so" runs-report -o page.html runs
    assert_equal "${stderr_lines[-1]}" "runs-report: runs/failing/history.jsonl: Input/output error"
    assert_not_exists page.html
}
