//! The testbed itself: what the end-to-end tests take for granted of its parts.

#![allow(missing_docs, reason = "tests")]

mod authorization_server;
mod envoy_without_filter;
mod example_bootstrap;
