//! The testbed itself: the behaviour that the end-to-end tests rely on.

#![allow(missing_docs, reason = "tests")]

mod authorization_server;
mod envoy_without_filter;
mod example_bootstrap;
