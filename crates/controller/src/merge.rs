//! Several watches as one: each namespace has a watch of its own, and a reflector wants one list.

use futures::stream::{BoxStream, SelectAll, select_all};
use futures::{Stream, StreamExt};
use kube::runtime::watcher::{Error, Event};

/// Joins watches. The first list of each is held back until all of them are complete, and then told as one list; a later list of a single
/// watch is told as changes, so that it does not make the others' objects vanish.
///
/// **Caveats**: an object that vanished while its watch was interrupted stays until the process ends or it comes back. Such objects are never
/// Canaries that hold a finalizer of ours: those cannot vanish unseen.
pub(crate) fn merged<K: Send + 'static>(
    watches: Vec<BoxStream<'static, Result<Event<K>, Error>>>,
) -> impl Stream<Item = Result<Event<K>, Error>> + Send {
    let total = watches.len();
    let numbered: SelectAll<_> = select_all(
        watches
            .into_iter()
            .enumerate()
            .map(|(number, watch)| watch.map(move |event| (number, event)).boxed()),
    );
    let mut first = First {
        complete: vec![false; total],
        begun: false,
    };
    numbered.flat_map(move |(number, event)| futures::stream::iter(first.tell(number, event)))
}

/// Which watches have completed their first list.
struct First {
    complete: Vec<bool>,
    begun: bool,
}

impl First {
    fn tell<K>(
        &mut self,
        number: usize,
        event: Result<Event<K>, Error>,
    ) -> Vec<Result<Event<K>, Error>> {
        let is_first = !self.complete.get(number).copied().unwrap_or(true);
        match event {
            Ok(Event::Init) if !self.begun => {
                self.begun = true;
                vec![Ok(Event::Init)]
            }
            Ok(Event::Init) => Vec::new(),
            Ok(Event::InitApply(object)) if is_first && !self.is_complete() => {
                vec![Ok(Event::InitApply(object))]
            }
            Ok(Event::InitApply(object)) => vec![Ok(Event::Apply(object))],
            Ok(Event::InitDone) => self.end_of_list(number),
            // Before all lists are complete a change belongs to the list.
            Ok(Event::Apply(object)) if !self.is_complete() => vec![Ok(Event::InitApply(object))],
            other @ (Ok(Event::Apply(_) | Event::Delete(_)) | Err(_)) => vec![other],
        }
    }

    fn end_of_list<K>(&mut self, number: usize) -> Vec<Result<Event<K>, Error>> {
        let was_complete = self.is_complete();
        if let Some(complete) = self.complete.get_mut(number) {
            *complete = true;
        }
        if self.is_complete() && !was_complete {
            vec![Ok(Event::InitDone)]
        } else {
            Vec::new()
        }
    }

    fn is_complete(&self) -> bool {
        self.complete.iter().all(|complete| *complete)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_first_lists_become_one_and_a_later_list_makes_nothing_vanish() {
        let mut first = First {
            complete: vec![false; 2],
            begun: false,
        };
        let mut told = Vec::new();
        let events: Vec<(usize, Event<u8>)> = vec![
            (0, Event::Init),
            (1, Event::Init),
            (0, Event::InitApply(1)),
            (0, Event::InitDone),
            (1, Event::InitApply(2)),
            (0, Event::Apply(3)),
            (1, Event::InitDone),
            (0, Event::Init),
            (0, Event::InitApply(1)),
            (0, Event::InitDone),
            (1, Event::Delete(2)),
        ];
        for (number, event) in events {
            told.extend(
                first
                    .tell(number, Ok(event))
                    .into_iter()
                    .map(|event| match event {
                        Ok(Event::Init) => "init".to_owned(),
                        Ok(Event::InitApply(object)) => format!("list {object}"),
                        Ok(Event::InitDone) => "done".to_owned(),
                        Ok(Event::Apply(object)) => format!("apply {object}"),
                        Ok(Event::Delete(object)) => format!("delete {object}"),
                        Err(error) => error.to_string(),
                    }),
            );
        }
        assert_eq!(
            told,
            [
                "init", "list 1", "list 2", "list 3", "done", "apply 1", "delete 2"
            ]
        );
    }
}
