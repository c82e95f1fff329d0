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
    tables page.html | sed 's/ resnet18:width=8/ R/; s/ × multiplicative/ x M/' >rows
    diff rows - <<END
Run | Experts, mean | Best single expert | Ensemble | Fused | Gain | Calibration error | \
Single network | Images
<b>&"evil' failed R × <script>alert(1)</script> \
| 67.12 | 67.75 | 69.00 | 71.00 | +3.25 | 3.00 | 48.50 | 50 validation
dead dead R x M | 27.12 | 27.75 | 29.00 | 31.00 | +3.25 | 3.00 | 48.50 | 50 validation
diverged diverged R x M | 47.12 | 47.75 | 49.00 | 51.00 | +3.25 | 3.00 | 48.50 | 50 validation
done R x M | 42.88 | 44.25 | 50.75 | 55.55 | +11.30 | 2.50 | 48.50 | 200 test
stopped stopped R x M | 16.12 | 16.75 | 18.00 | 20.00 | +3.25 | 3.00 | 48.50 | 50 validation
under/way dead R x M | 18.12 | 18.75 | 20.00 | 22.00 | +3.25 | 3.00 | 48.50 | 50 validation
Run | Expert 0 | Expert 1 | Mean change | Images
dead dead R x M | 3.25 → 27.75 | 3.50 → 26.50 | +23.75 | 50 validation
done R x M | 1.25 → 10.75 | 1.50 → 9.50 | +8.75 | 50 validation
under/way dead R x M | 2.25 → 18.75 | 2.50 → 17.50 | +15.75 | 50 validation
Run | Accuracy | Calibration error | Images
single R, single network on all images | 48.50 | 2.50 | 200 test
END
    grep -q 'href="#run-' page.html
    assert_equal "$(cat warning)" \
        "runs-report: warning: runs/broken/history.jsonl: line 2: '[' or '{' expected near 'not'"
}

@test "each run has its section: state, curves, configuration" {
    runs-report --quiet -o page.html runs
    # Of nine, the broken one and the one that has told nothing yet have none.
    assert_equal "$(grep -c '<section id="run-' page.html)" 7
    assert_equal "$(grep -c '<figure>' page.html)" 15
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
    fails_with 1 "runs-report: runs/done/lock: not a directory" \
        runs-report -o page.html runs/done/lock
    run -2 runs-report
    run -2 runs-report runs runs
    assert_not_exists page.html
    fails_with 1 'runs-report: stdout: No space left on device' \
        bash -c 'runs-report runs/done >/dev/full'
}
