// Reads a list of Kubernetes objects from stdin and writes, one a line, what the published schemas of Istio (1.29) and of
// Envoy Gateway find wrong with them. Run by tests/project/deploy_manifests.rs.

import { readFileSync } from "node:fs";
import {
  BackendTrafficPolicy,
  ClientTrafficPolicy,
  EnvoyExtensionPolicy,
  EnvoyProxy,
} from "@kubernetes-models/envoy-gateway/gateway.envoyproxy.io/v1alpha1";
import { WasmPlugin } from "@kubernetes-models/istio/extensions.istio.io/v1alpha1";
import { DestinationRule, ServiceEntry } from "@kubernetes-models/istio/networking.istio.io/v1";
import { EnvoyFilter } from "@kubernetes-models/istio/networking.istio.io/v1alpha3";
import { AuthorizationPolicy, RequestAuthentication } from "@kubernetes-models/istio/security.istio.io/v1";

const kinds = {
  // Istio's.
  WasmPlugin,
  DestinationRule,
  ServiceEntry,
  EnvoyFilter,
  AuthorizationPolicy,
  RequestAuthentication,
  // Envoy Gateway's.
  BackendTrafficPolicy,
  ClientTrafficPolicy,
  EnvoyExtensionPolicy,
  EnvoyProxy,
};

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
