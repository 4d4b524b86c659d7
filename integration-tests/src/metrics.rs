//! A node's metrics as a scraper sees them.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

/// The text that `/metrics` answers.
pub fn scrape(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// The value of a metric, summed over the label values that `label` accepts; 0 where there is none.
pub fn sum(scraped: &str, name: &str, label: impl Fn(&str) -> bool) -> f64 {
    let lines = scraped.lines().filter_map(|line| line.strip_prefix(name));
    lines
        .filter_map(|rest| {
            let (labels, value) = rest.rsplit_once(' ')?;
            let is_this = labels.is_empty() || labels.starts_with('{');
            (is_this && label(labels)).then(|| value.parse::<f64>().ok())?
        })
        .sum()
}

/// The value of a metric without labels; `None` where it is not served.
pub fn value(scraped: &str, name: &str) -> Option<f64> {
    let mut lines = scraped
        .lines()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    lines.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_whole_names() {
        let text = "# HELP a b\na 1\na_b 2\nc{reason=\"x\"} 3\nc{reason=\"y\"} 4\n";
        assert_eq!(value(text, "a"), Some(1.0));
        assert_eq!(value(text, "b"), None);
        assert_eq!(sum(text, "c", |labels| labels.contains('x')), 3.0);
        assert_eq!(sum(text, "c", |_| true), 7.0);
        assert_eq!(sum(text, "a", |_| true), 1.0);
    }
}
