# escape=`
FROM mcr.example/windows/nanoserver
RUN dir `
  /s `
  c:\
COPY a.txt c:\data\
SHELL ["powershell", "-command"]
