"""Performs transfers with libcurl, the library that the command `curl` is made of.

Standard input: a JSON list of {"url", "method", "headers": ["name: value"], "body", "http": "1.1" | "2" | "2-prior", "ca",
"resolve": ["name:port:address"], "certificate", "key"}; the last two are PEM files of the client. Standard output: a JSON list
of {"status", "http", "headers": [[name, value]], "body"}, or {"error"} where there was no response.
One line about the library goes to standard error.
"""

import io
import json
import sys

import pycurl

VERSIONS = {
    "1.1": pycurl.CURL_HTTP_VERSION_1_1,
    # Asked for in the TLS handshake (ALPN).
    "2": pycurl.CURL_HTTP_VERSION_2TLS,
    # Without asking.
    "2-prior": pycurl.CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE,
}
SPOKEN = {2: "1.1", 3: "2"}


def transfer(wanted):
    curl = pycurl.Curl()
    body, lines = io.BytesIO(), []
    curl.setopt(pycurl.URL, wanted["url"])
    curl.setopt(pycurl.HTTP_VERSION, VERSIONS[wanted["http"]])
    curl.setopt(pycurl.HTTPHEADER, wanted.get("headers", []))
    curl.setopt(pycurl.WRITEDATA, body)
    curl.setopt(pycurl.HEADERFUNCTION, lines.append)
    curl.setopt(pycurl.TIMEOUT, 30)
    # Neither a configuration of this machine nor a proxy of it.
    curl.setopt(pycurl.PROXY, "")
    if wanted.get("ca"):
        curl.setopt(pycurl.CAINFO, wanted["ca"])
        curl.setopt(pycurl.RESOLVE, wanted["resolve"])
    if wanted.get("certificate"):
        curl.setopt(pycurl.SSLCERT, wanted["certificate"])
        curl.setopt(pycurl.SSLKEY, wanted["key"])
    if wanted.get("body") is not None:
        # As `--data` does: with `Expect: 100-continue` where libcurl wants it.
        curl.setopt(pycurl.POST, 1)
        curl.setopt(pycurl.POSTFIELDS, wanted["body"])
    if wanted["method"] == "HEAD":
        curl.setopt(pycurl.NOBODY, 1)
    else:
        curl.setopt(pycurl.CUSTOMREQUEST, wanted["method"])
    try:
        curl.perform()
    except pycurl.error as fault:
        return {"error": fault.args[1]}
    # Behind `100 Continue` comes the real one.
    fields = []
    for line in lines:
        text = line.decode("latin-1").rstrip("\r\n")
        if text.startswith("HTTP/"):
            fields = []
        elif ":" in text:
            name, value = text.split(":", 1)
            fields.append([name.lower(), value.strip()])
    return {
        "status": curl.getinfo(pycurl.RESPONSE_CODE),
        "http": SPOKEN.get(curl.getinfo(pycurl.INFO_HTTP_VERSION)),
        "headers": fields,
        "body": body.getvalue().decode("utf-8", "replace"),
    }


print(pycurl.version, file=sys.stderr)
json.dump([transfer(wanted) for wanted in json.load(sys.stdin)], sys.stdout)
