#syntax = docker/dockerfile:1.7 # not a comment
# Check=skip=all;error=true

# escape=`
from A as B
maintainer "Some One" <one@example.com>
run echo \
  x
expose 80 443/tcp 8000-8002/udp
stopsignal SIGKILL
user  "a b"  
workdir /a b
arg A B=1 C="d e" F='$x'
add --checksum=sha256:00 --keep-git-dir --link=false -- --odd /x
copy --chown=1:2 --chmod=0755 --parents --exclude=*.md --exclude="a b" ./a/./b /c/
