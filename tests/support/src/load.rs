//! Load for measurements: a bounded number of requests over a few keep-alive connections, one at a time on each.

use std::net::Ipv4Addr;
use std::thread;

use crate::client::{Connection, Request};

/// Sends the requests to 127.0.0.1:`port`, shared out evenly over `connections`, and waits for the answers.
///
/// # Panics
/// When a request is not answered with 200: what is measured then is not what was meant to be.
pub fn send_all(port: u16, requests: &[Request], connections: usize) {
    let share = requests.len().div_ceil(connections).max(1);
    thread::scope(|scope| {
        for part in requests.chunks(share) {
            scope.spawn(move || send_in_turn(port, part));
        }
    });
}

fn send_in_turn(port: u16, requests: &[Request]) {
    let mut connection =
        Connection::open(port).unwrap_or_else(|fault| panic!("{}:{port}: {fault}", Ipv4Addr::LOCALHOST));
    for request in requests {
        let answer = connection.send(request).and_then(|()| connection.read_response());
        let answer = answer.unwrap_or_else(|fault| panic!("no response from port {port}: {fault}"));
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Backend;

    #[test]
    fn every_request_is_sent_once() {
        let backend = Backend::start();
        let requests: Vec<_> = (0..10).map(|number| Request::get(format!("/{number}"))).collect();
        send_all(backend.port(), &requests, 3);
        let mut paths: Vec<_> = backend.requests().into_iter().map(|received| received.path).collect();
        paths.sort();
        assert_eq!(paths, (0..10).map(|number| format!("/{number}")).collect::<Vec<_>>());
    }
}
