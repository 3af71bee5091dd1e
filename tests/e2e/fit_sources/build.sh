#!/bin/sh
# What is compiled for the test of what runs where: each program says "runs" and ends well, if it gets that far.
set -eu

cat > main.c <<'C'
#include <stdio.h>
int main(void) { return puts("runs") < 0; }
C
cat > greet.c <<'C'
#include <stdio.h>
int greet(void) { return puts("runs"); }
C
cat > uses.c <<'C'
int greet(void);
int main(void) { return greet() < 0; }
C
cat > loads.c <<'C'
#include <dlfcn.h>
#include <stdio.h>
int main(int count, char **words)
{
    void *library = dlopen(words[count - 1], RTLD_NOW);
    int (*greet)(void) = library ? (int (*)(void)) dlsym(library, "greet") : 0;
    if (!greet) { fprintf(stderr, "%s\n", dlerror()); return 1; }
    return greet() < 0;
}
C
mkdir -p /out/lib /out/old /out/plug
gcc main.c -o /out/dynamic
gcc -static main.c -o /out/static
gcc -static-pie main.c -o /out/static-pie
head -c 5000 /out/static > /out/cut-short && chmod 0755 /out/cut-short
head -c 30 /out/static > /out/cut-shorter && chmod 0755 /out/cut-shorter

echo 'GREET_1 { global: greet; };' > one.map
echo 'GREET_1 { }; GREET_2 { global: greet; } GREET_1;' > two.map
gcc -shared -fPIC greet.c -o /out/old/libgreet.so.1 -Wl,-soname,libgreet.so.1,--version-script=one.map
gcc -shared -fPIC greet.c -o /out/lib/libgreet.so.1 -Wl,-soname,libgreet.so.1,--version-script=two.map
gcc uses.c /out/lib/libgreet.so.1 -o /out/uses
gcc uses.c /out/lib/libgreet.so.1 -o /out/uses-runpath -Wl,-rpath,'$ORIGIN/../lib'
gcc uses.c /out/lib/libgreet.so.1 -o /out/uses-rpath -Wl,--disable-new-dtags,-rpath,'${ORIGIN}/../lib'

gcc loads.c -o /out/loads
gcc -shared -fPIC greet.c -o /out/plug/plain.so
gcc -shared -fPIC uses.c /out/lib/libgreet.so.1 -o /out/plug/wants-new.so

musl=$(echo /usr/lib/*-linux-musl/musl-gcc.specs)
gcc -specs "$musl" main.c -o /out/musl
gcc -specs "$musl" -static main.c -o /out/musl-static
gcc -specs "$musl" -shared -fPIC greet.c -o /out/plug/musl.so
mkdir /out/musl-lib
gcc -specs "$musl" -shared -fPIC greet.c -o /out/musl-lib/libgreet.so.1 -Wl,-soname,libgreet.so.1
gcc -specs "$musl" uses.c /out/musl-lib/libgreet.so.1 -o /out/musl-uses

cp "$(gcc -print-file-name=libgcc_s.so.1)" /out/lib/

printf '#!/bin/sh\necho runs\n' > /out/sh-script
printf '#!/bin/bash\necho runs\n' > /out/bash-script
printf '#!/usr/bin/env perl\nprint "runs\\n";\n' > /out/perl-script
printf '#!/bin/sh\r\necho runs\r\n' > /out/dos-script
chmod 0755 /out/*-script
