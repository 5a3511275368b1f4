// Reads a list of Kubernetes objects from stdin and writes, one a line, what the published schemas find wrong with them: those of
// Istio 1.29, of Envoy Gateway (the types of 1.7) and of the Gateway API 1.5. Run by tests/project/deploy_manifests.rs.

import { readFileSync } from "node:fs";
import {
  BackendTrafficPolicy,
  ClientTrafficPolicy,
  EnvoyExtensionPolicy,
  EnvoyProxy,
} from "@kubernetes-models/envoy-gateway/gateway.envoyproxy.io/v1alpha1";
import { Gateway, GatewayClass, HTTPRoute } from "@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1";
import { WasmPlugin } from "@kubernetes-models/istio/extensions.istio.io/v1alpha1";
import { DestinationRule, ServiceEntry } from "@kubernetes-models/istio/networking.istio.io/v1";
import { EnvoyFilter } from "@kubernetes-models/istio/networking.istio.io/v1alpha3";
import { AuthorizationPolicy, RequestAuthentication } from "@kubernetes-models/istio/security.istio.io/v1";

// No published schema has Istio's TrafficExtension. Istio treats it as a WasmPlugin whose plugin is below `wasm`, and so does this.
class TrafficExtension {
  static apiVersion = "extensions.istio.io/v1alpha1";
  static #members = ["selector", "targetRefs", "phase", "priority", "match"];

  constructor(object) {
    this.object = object;
  }

  validate() {
    const { wasm = {}, ...around } = this.object.spec;
    const unknown = Object.keys(around).filter((name) => !TrafficExtension.#members.includes(name));
    const misplaced = Object.keys(wasm).filter((name) => TrafficExtension.#members.includes(name));
    if (unknown.length > 0 || misplaced.length > 0) {
      throw new Error(`spec has unknown members [${unknown}], or wasm has members of spec [${misplaced}]`);
    }
    new WasmPlugin({ ...this.object, kind: "WasmPlugin", spec: { ...around, ...wasm } }).validate();
  }
}

const kinds = {
  // Istio's.
  WasmPlugin,
  TrafficExtension,
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
  // Of the Gateway API.
  Gateway,
  GatewayClass,
  HTTPRoute,
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
