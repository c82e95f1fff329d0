/* Which columns the table of each kind of event has. */
#ifndef FX_TRACK_METRICS_COLUMNS_INTERNAL_H
#define FX_TRACK_METRICS_COLUMNS_INTERNAL_H

enum fx_csv_source {
    FX_CSV_EVENT,        /* a member that the row's event must have */
    FX_CSV_EVENT_EXPERT, /* an array member that it must have: one column for each expert */
    FX_CSV_OPTIONAL,     /* a member that it may have, or an empty field */
    FX_CSV_OPTIONAL_EXPERT,
    FX_CSV_START,      /* a member of the start event, or an empty field */
    FX_CSV_SCORE,      /* a number that is made of the two events, or an empty field */
    FX_CSV_RUN,        /* the name of the run */
    FX_CSV_RUN_OF_MANY /* the same, where the table has several runs */
};

struct fx_csv_column {
    const char *title; /* of an array: with %d for the expert */
    enum fx_csv_source source;
    const char *member;
};

/* A kind of event that makes rows. */
struct fx_csv_kind {
    const char *event;
    const char *counter;                 /* its member that ascends from row to row; NULL: none */
    const struct fx_csv_column *columns; /* to a title of NULL */
};

extern const struct fx_csv_kind fx_csv_kinds[];

#endif
