/* What a kernel returns. Nothing in csrc prints, keeps globals or knows of Python. */
#ifndef JR_STATUS_H
#define JR_STATUS_H

enum jr_status {
    JR_OK = 0,
    JR_NO_MEMORY = 1, /* an allocation failed; nothing was written that the caller must free */
    JR_STOPPED = 2,   /* the watch asked to stop; results are incomplete */
};

#endif
