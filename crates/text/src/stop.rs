//! Stop strings in text that comes in pieces.

/// Finds stop strings in text that comes in pieces; holds back what may be the beginning of one.
///
/// The stop that begins first ends the text; where several begin, they end it at the same place. What is held back is
/// shorter than the longest stop string, so each piece costs time in proportion to its own length and that.
#[derive(Debug)]
pub struct StopStrings {
    /// None is empty.
    stops: Vec<String>,
    held: String,
    /// Which stop string ended the text.
    matched: Option<usize>,
}

/// What [`StopStrings::push`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scanned {
    /// Text that is safe to send.
    pub text: String,
    /// A stop string came: the answer ends behind `text`.
    pub stopped: bool,
}

impl StopStrings {
    /// Empty strings are left out.
    pub fn new(mut stops: Vec<String>) -> Self {
        stops.retain(|stop| !stop.is_empty());
        Self { stops, held: String::new(), matched: None }
    }

    /// Takes the next piece of text. Behind a stop there is no more text: further pieces give nothing and `stopped`.
    pub fn push(&mut self, text: &str) -> Scanned {
        if self.stopped() {
            return Scanned { text: String::new(), stopped: true };
        }
        if self.stops.is_empty() {
            return Scanned { text: text.to_owned(), stopped: false };
        }
        self.held.push_str(text);
        let first = self.first(&self.held);
        // A stop that may yet begin before the one that was found decides, so it is waited for.
        let open = self.stops.iter().filter_map(|stop| open_beginning(&self.held, stop)).min();
        match (first, open) {
            (Some((at, stop)), open) if open.is_none_or(|open| at <= open) => {
                self.matched = Some(stop);
                self.held.truncate(at);
                Scanned { text: std::mem::take(&mut self.held), stopped: true }
            }
            (_, open) => {
                let sure = open.unwrap_or(self.held.len());
                let rest = self.held.split_off(sure);
                Scanned { text: std::mem::replace(&mut self.held, rest), stopped: false }
            }
        }
    }

    /// Whether a stop string ended the text.
    pub fn stopped(&self) -> bool {
        self.matched.is_some()
    }

    /// The stop string that ended the text. Of several that begin at the same place it is the shortest, which came first.
    pub fn matched(&self) -> Option<&str> {
        self.matched.map(|stop| self.stops[stop].as_str())
    }

    /// What was held back, when the text ends without a stop. A stop string in it that only waited for a longer one
    /// that began earlier still counts; [`stopped`](Self::stopped) says so.
    pub fn finish(&mut self) -> String {
        let held = std::mem::take(&mut self.held);
        match self.first(&held) {
            Some((at, stop)) => {
                self.matched = Some(stop);
                held[..at].to_owned()
            }
            None => held,
        }
    }

    /// Where the first stop string in `text` begins, and which one it is.
    fn first(&self, text: &str) -> Option<(usize, usize)> {
        let found =
            self.stops.iter().enumerate().filter_map(|(stop, string)| Some((text.find(string.as_str())?, stop)));
        found.min_by_key(|&(at, stop)| (at, self.stops[stop].len()))
    }
}

/// Where in `text` a proper prefix of `stop` begins that reaches to the text's end; the leftmost such place.
fn open_beginning(text: &str, stop: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    (bytes.len().saturating_sub(stop.len() - 1)..bytes.len())
        .find(|&at| text.is_char_boundary(at) && stop.as_bytes().starts_with(&bytes[at..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Looks at the whole text at once.
    fn naive(text: &str, stops: &[String]) -> (String, Option<String>) {
        for at in (0..text.len()).filter(|&at| text.is_char_boundary(at)) {
            let here = stops.iter().filter(|stop| !stop.is_empty() && text[at..].starts_with(stop.as_str()));
            if let Some(stop) = here.min_by_key(|stop| stop.len()) {
                return (text[..at].to_owned(), Some(stop.clone()));
            }
        }
        (text.to_owned(), None)
    }

    fn in_pieces(pieces: &[&str], stops: &[String]) -> (String, Option<String>) {
        let mut scanner = StopStrings::new(stops.to_vec());
        let mut text = String::new();
        for piece in pieces {
            let scanned = scanner.push(piece);
            text += &scanned.text;
            if scanned.stopped {
                assert_eq!(scanner.push("more"), Scanned { text: String::new(), stopped: true });
                assert_eq!(scanner.finish(), "");
                return (text, scanner.matched().map(str::to_owned));
            }
        }
        text += &scanner.finish();
        (text, scanner.matched().map(str::to_owned))
    }

    #[test]
    fn what_may_be_a_beginning_waits() {
        let mut scanner = StopStrings::new(vec!["</s>".into(), "\n\n".into()]);
        assert_eq!(scanner.push("a\n"), Scanned { text: "a".into(), stopped: false });
        assert_eq!(scanner.push("b<"), Scanned { text: "\nb".into(), stopped: false });
        assert_eq!(scanner.push("/s>c"), Scanned { text: String::new(), stopped: true });
    }

    #[test]
    fn without_stops_everything_passes() {
        let mut scanner = StopStrings::new(vec![String::new()]);
        assert_eq!(scanner.push("<"), Scanned { text: "<".into(), stopped: false });
    }

    #[test]
    fn an_earlier_longer_stop_wins_over_a_later_shorter_one() {
        let stops = ["abcd".to_owned(), "c".to_owned()];
        assert_eq!(in_pieces(&["xab", "c", "d"], &stops), ("x".to_owned(), Some("abcd".to_owned())));
        assert_eq!(in_pieces(&["xab", "c", "e"], &stops), ("xab".to_owned(), Some("c".to_owned())));
        assert_eq!(in_pieces(&["xab", "c"], &stops), ("xab".to_owned(), Some("c".to_owned())));
    }

    proptest! {
        #[test]
        fn pieces_are_scanned_as_the_whole_is(
            text in "[abä🎉]{0,12}",
            stops in prop::collection::vec("[abä🎉]{0,4}", 0..4),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        ) {
            let boundaries: Vec<usize> = (0..=text.len()).filter(|&at| text.is_char_boundary(at)).collect();
            // Every split in two, and one in up to five.
            for &cut in &boundaries {
                prop_assert_eq!(in_pieces(&[&text[..cut], &text[cut..]], &stops), naive(&text, &stops));
            }
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| boundaries[cut.index(boundaries.len())]).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&str> = cuts.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
            prop_assert_eq!(in_pieces(&pieces, &stops), naive(&text, &stops));
        }
    }
}
