FROM alpine AS base
RUN <<EOF
#!/bin/sh
echo "one" > /one
EOF
RUN cat <<A >/a && cat <<-"B C" >/b
first $HOME
A
	second
	B C
COPY <<index.html <<-"robots.txt" plain.txt /srv/
<p>$TITLE</p>
index.html
		User-agent: *
	robots.txt
RUN 3<<X cat /dev/fd/3
x
X
ONBUILD RUN <<EOF
echo later
EOF
RUN ["echo", "<<not"]
RUN echo "<<EOF"
RUN echo $((1<<2))
