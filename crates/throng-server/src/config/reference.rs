//! The configuration reference, written from the settings themselves, so that it cannot differ from
//! them: a test compares `docs/reference/config.md` with what is written here.

use super::{SETTINGS, Setting, Settings};

/// The whole page.
pub fn markdown() -> String {
    let mut page = String::from(HEAD);
    let (limits, own): (Vec<_>, Vec<_>) =
        SETTINGS.iter().partition(|setting| setting.key.starts_with("limits."));
    table(&mut page, &own);
    page.push_str(LIMITS);
    table(&mut page, &limits);
    page
}

const HEAD: &str = "\
# Settings

Written from the code by its tests; do not edit.

A value comes from the defaults below, then from the TOML file given by `--config FILE`, then from
the command line: `--set key=value` (repeatable) sets any of them, and `--listen`, `--raw-listen`,
`--data` and `--memory` are short for theirs. The later one wins. A key that does not exist or a
value that is not allowed stops the start, with the file and line where it stands.

```toml
listen = \"0.0.0.0:8080\"
trusted_proxies = [\"10.0.0.0/8\"]

[limits]
sends_per_second = 20
```

";

const LIMITS: &str = "
## Limits

Every queue, map, frame and rate has a bound. Those that concern a client are told to it in
`welcome`; what is refused because of one is answered with a code of the protocol reference. Times
end in `_ms` and are milliseconds, `_bytes` and `_len` are bytes.

";

fn table(page: &mut String, settings: &[&Setting]) {
    page.push_str("| setting | default | allowed | what and why |\n| --- | --- | --- | --- |\n");
    for setting in settings {
        let default = (setting.get)(&Settings::default());
        let row = format!(
            "| `{}` | `{default}` | {} | {} |\n",
            setting.key, setting.allowed, setting.about
        );
        page.push_str(&row);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `THRONG_WRITE=1 cargo test -p throng-server reference` writes the page anew.
    #[test]
    fn the_published_page_lists_every_setting_as_the_code_has_it() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/config.md");
        if std::env::var_os("THRONG_WRITE").is_some() {
            std::fs::create_dir_all(std::path::Path::new(path).parent().unwrap()).unwrap();
            std::fs::write(path, markdown()).unwrap();
        }
        let published = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            published == markdown(),
            "docs/reference/config.md is stale; write it anew with THRONG_WRITE=1"
        );
    }
}
