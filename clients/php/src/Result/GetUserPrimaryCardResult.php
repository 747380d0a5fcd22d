<?php

declare(strict_types=1);

namespace Nivisco\Payments\Result;

/** What `get_user_primary_card` answers. Generated: do not edit. */
final class GetUserPrimaryCardResult
{
    /** The card that a charge would use. */
    public GetUserPrimaryCardCard $card;

    /**
     * @internal
     *
     * @param array<string, mixed> $answer
     */
    public static function read(array $answer): self
    {
        $result = new self();
        $result->card = GetUserPrimaryCardCard::read($answer['card']);

        return $result;
    }
}
