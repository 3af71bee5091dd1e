#include "agents.h"

#include <string.h>

const struct agent agents[] = {
    {"claude", "Hello, what shall we build?"},
    {"codex", "Ready when you are."},
    {"copilot", "Let us fly this together."},
    {"cursor", "Point me somewhere."},
    {"grok", "I see what you mean."},
    {"hermes", "Message received."},
    {"kiro", "Which way from here?"},
};

const size_t agent_count = sizeof agents / sizeof agents[0];

const struct agent *find_agent(const char *name)
{
    for (size_t i = 0; i < agent_count; i++)
        if (strcmp(agents[i].name, name) == 0)
            return &agents[i];
    return NULL;
}
