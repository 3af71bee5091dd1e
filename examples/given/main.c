#include <stdio.h>
#include <sys/utsname.h>

int main(int argc, char **argv)
{
    struct utsname host;
    if (uname(&host) != 0)
        return 1;
    printf("hello %s (%s)\n", argc > 1 ? argv[1] : "there", host.machine);
    return 0;
}
