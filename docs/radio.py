"""A radio: each song sounds like the last one, and none comes twice.

It asks the API of a running `musicflow app`. The player is mpv, or any that takes addresses.

    python radio.py "Tone 3"
    python radio.py "Tone 3" --songs 20 --player "ffplay -nodisp -autoexit"
"""

import argparse
import json
import subprocess
import urllib.parse
import urllib.request

parser = argparse.ArgumentParser()
parser.add_argument("track", help="the first song, by its id or name")
parser.add_argument("--api", default="http://localhost:8501/api/v1")
parser.add_argument("--songs", type=int, default=100)
parser.add_argument("--player", default="mpv --no-video")
options = parser.parse_args()


def ask(address: str, **query: object) -> dict:
    """Return what the API answers."""
    with urllib.request.urlopen(f"{options.api}/{address}?{urllib.parse.urlencode(query)}") as said:
        return json.load(said)


heard: list[str] = []
track = options.track
for _ in range(options.songs):
    # As many answers as songs were heard, and one more, hold one that is new.
    answers = ask("similar", track=track, k=len(heard) + 2)["answers"]
    song = next((one for one in answers if one["track_id"] not in heard), None)
    if song is None:
        break
    track = song["track_id"]
    heard.append(track)
    print(f"{', '.join(song['artist'])} - {song['name']}", flush=True)
    address = f"{options.api}/audio/{urllib.parse.quote(track)}"
    subprocess.run([*options.player.split(), address], check=True)
