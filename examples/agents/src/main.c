/* Stands for the program that such a project compiles for ten minutes. */
#include <stdio.h>
#include <stdlib.h>

#include "version.h"

int main(void)
{
    const char *agent = getenv("AGENT");
    printf("broker %s for %s\n", BROKER_VERSION, agent ? agent : "nobody");
    return 0;
}
