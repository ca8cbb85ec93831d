//! With which key the API server signs the tokens of service accounts, by a token that it is asked for.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::ServiceAccount,
};
use kube::{Api, Client, api::PostParams};
use serde_json::Value;

use super::look::words;

/// Of whom the token speaks; it is shown to nobody.
const ACCOUNT: (&str, &str) = ("kube-system", "coredns");
/// The least that an API server gives.
const LASTS_S: i64 = 600;

/// The name of the key that signs tokens now, their `kid` (RFC 7515, section 4.1.4).
///
/// # Errors
/// Why there is no token, or what is wrong with it.
pub(super) async fn key_in_use(client: &Client) -> Result<String, String> {
    let (namespace, name) = ACCOUNT;
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let spec = TokenRequestSpec { expiration_seconds: Some(LASTS_S), ..TokenRequestSpec::default() };
    let asked = TokenRequest { spec, ..TokenRequest::default() };
    let given = accounts.create_token_request(name, &PostParams::default(), &asked).await.map_err(words)?;
    let token = given.status.map(|status| status.token).unwrap_or_default();
    key_of(&token).ok_or_else(|| format!("a token that names no key, of {} characters", token.len()))
}

/// The key that a token names in its header (RFC 7519, section 7.2).
fn key_of(token: &str) -> Option<String> {
    let (header, _) = token.split_once('.')?;
    let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
    header["kid"].as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_the_key_that_signed_it() {
        let of = |header: &str| key_of(&format!("{}.e30.AA", URL_SAFE_NO_PAD.encode(header)));
        assert_eq!(of(r#"{"alg":"ES256","kid":"abc"}"#).as_deref(), Some("abc"));
        assert_eq!(of(r#"{"alg":"ES256"}"#), None);
        assert_eq!((of("{"), key_of("abc"), key_of("")), (None, None, None));
    }
}
