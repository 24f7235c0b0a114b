//! Finds markers in text that comes one character at a time.

/// Looks for markers. What may be the beginning of one is held until that is decided.
///
/// No marker may be the beginning of another one: the shorter would always be found.
#[derive(Debug)]
pub(super) struct Markers {
    markers: Vec<&'static str>,
    held: String,
}

impl Markers {
    pub(super) fn new(markers: impl IntoIterator<Item = &'static str>) -> Self {
        Self { markers: markers.into_iter().collect(), held: String::new() }
    }

    /// Takes the next character. Appends to `free` what belongs to no marker, and returns the marker that is complete.
    pub(super) fn push(&mut self, c: char, free: &mut String) -> Option<&'static str> {
        self.held.push(c);
        while let Some(first) = self.held.chars().next() {
            if let Some(marker) = self.markers.iter().find(|marker| marker.starts_with(&self.held)) {
                if marker.len() > self.held.len() {
                    return None;
                }
                self.held.clear();
                return Some(marker);
            }
            free.push(first);
            self.held.drain(..first.len_utf8());
        }
        None
    }

    /// What may be the beginning of a marker.
    pub(super) fn held(&self) -> &str {
        &self.held
    }

    /// What was held, at the end of the text.
    pub(super) fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_beginnings_are_not_missed() {
        let mut markers = Markers::new(["<ab>", "<<c>"]);
        let mut free = String::new();
        let found: Vec<_> = "x<<ab><<<c>y<a".chars().filter_map(|c| markers.push(c, &mut free)).collect();
        assert_eq!((found, free.as_str()), (vec!["<ab>", "<<c>"], "x<<y"));
        assert_eq!(markers.held(), "<a");
        assert_eq!(markers.finish(), "<a");
    }
}
