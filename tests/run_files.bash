# Loaded by the tests of the make targets (`load run_files`): where the runs in out/ leave files.

csv() {
    echo "out/csv_logs/$1_fusions/$1_$2_training_log.csv"
}

finished() { # NAME
    assert_exists "out/runs/$1/finished"
}
unfinished() { # NAME
    assert_not_exists "out/runs/$1/finished"
}
