"""An SMS gateway that speaks as Kavenegar, InforU, 019 and Twilio do, into one inbox anybody can read."""
