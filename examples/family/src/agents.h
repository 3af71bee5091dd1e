#ifndef FAMILY_AGENTS_H
#define FAMILY_AGENTS_H

#include <stddef.h>

/* An agent that the family speaks for. */
struct agent {
    const char *name;
    const char *greeting;
};

/* Every agent, sorted by name. */
extern const struct agent agents[];
extern const size_t agent_count;

/* Returns the agent of that name, or NULL. */
const struct agent *find_agent(const char *name);

#endif
