//! Files that say who the controller is to a cloud: read whenever they are used, since whoever writes them renews them.

use tokio::fs::File;
use tokio::io::AsyncReadExt as _;

/// The longest that is read, in bytes; a token or a key is a fraction of it.
const LONGEST: u64 = 64 << 10;

/// The content of a file, or why there is none.
pub(super) async fn read(path: &str) -> Result<String, String> {
    let file = File::open(path).await.map_err(|error| error.to_string())?;
    let mut content = String::new();
    let read = file.take(LONGEST + 1).read_to_string(&mut content).await;
    let length = read.map_err(|error| error.to_string())?;
    if u64::try_from(length).is_ok_and(|length| length <= LONGEST) {
        Ok(content)
    } else {
        Err(format!("it is longer than {LONGEST} bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_is_read_as_it_is_now_and_not_without_end() {
        let folder = std::env::temp_dir().join(format!("slipway-identity-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("token");
        let path = file.to_str().unwrap();
        assert!(read(path).await.is_err(), "it is not there yet");
        for content in ["old", "new"] {
            std::fs::write(&file, content).unwrap();
            assert_eq!(read(path).await.as_deref(), Ok(content));
        }
        let longest = usize::try_from(LONGEST).unwrap();
        std::fs::write(&file, "x".repeat(longest)).unwrap();
        assert_eq!(read(path).await.map(|text| text.len()), Ok(longest));
        std::fs::write(&file, "x".repeat(longest + 1)).unwrap();
        let refused = read(path).await.unwrap_err();
        assert!(refused.contains("longer than"), "{refused}");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
