FROM a
CMD []
CMD ["a", "b\u00e9\n", "\ud83d\ude00"]
CMD [ "single" ]
CMD ['single quotes']
CMD ["unterminated"
CMD ["a",]
CMD
RUN
ENTRYPOINT [ "a" , "b" ]
COPY ["a b", "c", "/d e/"]
ADD [ "x" , "/y" ]
VOLUME ["/a", " /b "]
VOLUME /c   /d
HEALTHCHECK --interval=1m30s --retries=3 CMD ["curl", "-f", "x"]
HEALTHCHECK   CMD   curl -f x || exit 1
HEALTHCHECK NONE
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
ONBUILD CMD ["x"]
onbuild copy --from=x a b
