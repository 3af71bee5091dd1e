/* family: one program that many images ship. */

#include <stdio.h>
#include <string.h>

#include "agents.h"
#include "version.h"

#if defined(__aarch64__)
#define MACHINE "aarch64"
#elif defined(__x86_64__)
#define MACHINE "x86_64"
#else
#define MACHINE "unknown"
#endif

static int print_version(void)
{
    printf("family %s (%s)\n", FAMILY_VERSION, MACHINE);
    return 0;
}

static int list_agents(void)
{
    for (size_t i = 0; i < agent_count; i++)
        puts(agents[i].name);
    return 0;
}

static int greet(const char *name)
{
    const struct agent *agent = find_agent(name);

    if (agent == NULL) {
        fprintf(stderr, "family: no agent is called %s\n", name);
        return 1;
    }
    printf("%s: %s\n", agent->name, agent->greeting);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 2 || strcmp(argv[1], "--version") == 0)
        return print_version();
    if (argc == 2 && strcmp(argv[1], "agents") == 0)
        return list_agents();
    if (argc == 3 && strcmp(argv[1], "greet") == 0)
        return greet(argv[2]);
    fprintf(stderr, "usage: family [--version | agents | greet NAME]\n");
    return 2;
}
