// Reads a list of Kubernetes objects from stdin and writes, one a line, what Istio's published schemas (1.29) find wrong
// with them. Run by tests/deploy_manifests.rs.

import { readFileSync } from "node:fs";
import { WasmPlugin } from "@kubernetes-models/istio/extensions.istio.io/v1alpha1";
import { DestinationRule, ServiceEntry } from "@kubernetes-models/istio/networking.istio.io/v1";
import { EnvoyFilter } from "@kubernetes-models/istio/networking.istio.io/v1alpha3";
import { AuthorizationPolicy, RequestAuthentication } from "@kubernetes-models/istio/security.istio.io/v1";

const kinds = { WasmPlugin, DestinationRule, ServiceEntry, EnvoyFilter, AuthorizationPolicy, RequestAuthentication };

for (const object of JSON.parse(readFileSync(0, "utf8"))) {
  const kind = kinds[object.kind];
  if (kind === undefined || kind.apiVersion !== object.apiVersion) {
    console.log(`${object.kind}: no schema of ${object.apiVersion}`);
    continue;
  }
  try {
    new kind(object).validate();
  } catch (fault) {
    console.log(`${object.kind}: ${fault.message}`);
  }
}
