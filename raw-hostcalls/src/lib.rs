//! Calls of the Proxy-Wasm ABI 0.2.1 that the SDK (`proxy-wasm` 0.2.5) does not offer: a local response with details, which
//! Envoy's access log shows as `%RESPONSE_CODE_DETAILS%`.
//!
//! The only crate of the module with `unsafe`. Each call passes slices that live until the host has returned; the host copies them.

const OK: u32 = 0;
/// `grpc_status` of the ABI for a response whose headers say all.
const NO_GRPC_STATUS: i32 = -1;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_send_local_response(
        status_code: u32,
        details: *const u8,
        details_size: usize,
        body: *const u8,
        body_size: usize,
        headers: *const u8,
        headers_size: usize,
        grpc_status: i32,
    ) -> u32;
}

/// Ends the stream of the effective context with a response. Envoy shows `details` in access logs, nginx in the status line.
///
/// # Panics
/// If the host returns an error, as the SDK does. nginx then forwards a request whose callout has ended, so the module must
/// end: hosts deny what is undecided.
#[allow(clippy::panic, reason = "the host must not go on with the request")]
pub fn send_local_response(status: u16, details: &str, headers: &[(&str, &str)], body: &[u8]) {
    let headers = serialized(headers);
    // SAFETY: pointers and lengths are of slices that are borrowed until the call returns.
    let returned = unsafe {
        proxy_send_local_response(
            u32::from(status),
            details.as_ptr(),
            details.len(),
            body.as_ptr(),
            body.len(),
            headers.as_ptr(),
            headers.len(),
            NO_GRPC_STATUS,
        )
    };
    if returned != OK {
        panic!("unexpected status: {returned}");
    }
}

/// Header fields as the ABI has them: their number, the sizes of each name and value, then each name and value with a zero
/// byte at its end; all numbers little-endian with 32 bits.
fn serialized(fields: &[(&str, &str)]) -> Vec<u8> {
    // 32 bits are the address space of the module.
    let number = |size: usize| u32::try_from(size).unwrap_or(u32::MAX).to_le_bytes();
    let size = fields.iter().fold(4_usize, |size, (name, value)| {
        size.saturating_add(name.len()).saturating_add(value.len()).saturating_add(10)
    });
    let mut bytes = Vec::with_capacity(size);
    bytes.extend(number(fields.len()));
    for (name, value) in fields {
        bytes.extend(number(name.len()));
        bytes.extend(number(value.len()));
    }
    for (name, value) in fields {
        for text in [name, value] {
            bytes.extend_from_slice(text.as_bytes());
            bytes.push(0);
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::serialized;

    #[test]
    fn fields_are_serialized_as_the_abi_has_them() {
        assert_eq!(serialized(&[]), [0, 0, 0, 0]);
        let expected =
            [&[2, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0][..], b"a\0\xc3\xa4\0", b"b-c\0\0"];
        assert_eq!(serialized(&[("a", "ä"), ("b-c", "")]), expected.concat());
    }
}
