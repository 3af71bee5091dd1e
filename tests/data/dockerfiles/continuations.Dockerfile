FROM a
RUN one && \
  # a comment inside

  two \  
	# and another
  && three
ENV A=1 \
    B="two words" \
    C=it\ is D='x y' E=
ENV legacy  many   words "kept"
LABEL com.example.a="x=y" b=\
"z"
RUN echo a\\
\
RUN last \